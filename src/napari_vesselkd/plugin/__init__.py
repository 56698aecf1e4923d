"""The edge towards people: the only package that imports napari, Qt and magicgui.

Everything here reads the layer list as the session (there is no singleton; two viewers work) and calls the
same generators as the command line. What a dock shows is a frozen state computed without Qt (`segment_state`,
`look_state`), so that most of it is tested without a window.
"""
