"""`python -m promotion_pipeline.cli`: the same as `promotion-pipeline`."""

from promotion_pipeline.cli.main import main

if __name__ == "__main__":
    main()
