"""The flows that are measured."""

CHAIN = """
flow: chain
inputs: {x: integer}
steps:
  a: {set: {v: "${ inputs.x + 1 }"}}
  b: {set: {v: "${ a.v + 1 }"}}
  c: {set: {v: "${ b.v + 1 }"}}
  d: {set: {v: "${ c.v + 1 }"}}
  e: {set: {v: "${ d.v + 1 }"}}
output: $e.v
"""
THREE = """
flow: three
inputs: {x: integer}
steps:
  a: {set: {v: "${ inputs.x + 1 }"}}
  b: {set: {v: "${ a.v + 1 }"}}
  c: {set: {v: "${ b.v + 1 }"}}
output: $c.v
"""
WAITING = """
flow: waiting
inputs: {x: integer}
steps:
  a: {set: {v: "${ inputs.x + 1 }"}}
  w: {wait: {signal: go}, after: [a]}
output: $a.v
"""
SLOW = """
flow: slow
inputs: {x: integer}
steps:
  a: {set: {v: "${ inputs.x + 1 }"}}
  w: {wait: 1900ms, after: [a]}
  b: {set: {v: "${ a.v + 1 }"}, after: [w]}
  x: {wait: 1900ms, after: [b]}
  c: {set: {v: "${ b.v + 1 }"}, after: [x]}
  y: {wait: 1900ms, after: [c]}
  d: {set: {v: "${ c.v + 1 }"}, after: [y]}
output: $d.v
"""
