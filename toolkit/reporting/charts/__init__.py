"""Coverage as pictures: matplotlib figures made without pyplot, each with its words.

Every chart is a card with its own ground, so that it reads the same on light and dark pages. Colour
is never the only sign: what nobody knows is striped grey, what is broken is striped in the colour
of its source.
"""
