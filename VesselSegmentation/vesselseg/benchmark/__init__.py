"""How fast the program is, beside its peers and the machine's own limit: what ``vesselseg bench`` measures.

`peak` measures the limit, `peers` are the other programs, `measuring` runs one process and notes what it took,
`rounds` lets all of them take turns, `figures` makes medians, ratios and shares of the limit of it, `table` shows them.
`startup` and `tools` measure how soon the program is there and how soon its metrics and editing tools answer.
"""
