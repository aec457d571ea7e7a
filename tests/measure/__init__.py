"""What tests/startup measures with: a runtime API, answers of AWS for a quiet fleet, and other languages' functions."""
