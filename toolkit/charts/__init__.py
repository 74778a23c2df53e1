"""Coverage as pictures: matplotlib figures made without pyplot, each with its words.

Every chart is a card with its own ground, so that it reads the same on a light
page and on a dark one. The title states what the chart shows, the alternative
text says all of it. Colour is never the only sign: what nobody knows is striped
grey, what is broken is striped in the colour of its source.
"""

from toolkit.charts.chart import Chart
from toolkit.charts.groups import by_group
from toolkit.charts.months import cohorts, own_by_month
from toolkit.charts.people import what_people_see
from toolkit.charts.sources import by_source

__all__ = ["Chart", "by_group", "by_source", "cohorts", "own_by_month", "what_people_see"]
