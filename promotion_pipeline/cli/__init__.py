"""The command line: `promotion-pipeline`. Commands import what they need when they run, so that `--help` is quick."""
