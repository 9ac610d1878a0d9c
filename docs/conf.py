"""How the handbook is rendered: `pip install -e '.[docs]' && sphinx-build -W docs docs/_build`."""

project = "promotion-pipeline"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "Experiment Winner Auto-Promotion"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
