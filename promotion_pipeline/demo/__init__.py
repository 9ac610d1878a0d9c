"""The demo: experiments with known endings, put through the real graph."""
