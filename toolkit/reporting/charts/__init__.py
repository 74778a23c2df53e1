"""Coverage as pictures: matplotlib figures made without pyplot, each with its words.

Every chart is a card with its own ground, so that it reads the same on a light
page and on a dark one. The title states what the chart shows, the alternative
text says all of it. Colour is never the only sign: what nobody knows is striped
grey, what is broken is striped in the colour of its source.
"""
