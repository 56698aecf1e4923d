"""The review queue in the Correct tab: its list, flags and notes, how far one is, how reliable it is."""
