"""Sums of the metrics that an experiment states beside its primary one, by hour, phase, variant and metric.

- `definitions` says what each phase's metrics are made of; `update` brings the stored sums in line with the log and the
  events; `difference` is what that changes; `told` is what people should know of it; `stored` reads them;
  `conserved` compares them with the rows that they were made of.

Not here: what is concluded from the sums, and the sums of the primary metric.
"""
