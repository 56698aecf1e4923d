"""The Codes page: the teacher's codebook on screen."""
