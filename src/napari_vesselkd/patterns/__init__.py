"""What the teacher's codebook sees in a volume: which code lies where, how often, and what each code means.

Notation: z, y, x axes; a *code cell* is the box of voxels that one code stands for, its sides are the
*stride* of the teacher's patterns; a *code* is an index 0..N-1 of the codebook, which has N codes of width W.
"""
