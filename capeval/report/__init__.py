"""Rendering comes last: what a person, a pull request or a CI server reads. Knows only core types and frames."""
