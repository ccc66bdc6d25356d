"""The layers are collected through src/bptt, as `bptt.derive` and so on: here they would load twice."""

collect_ignore = ["derive", "kernels", "analysis", "reports"]
