"""(estimate, reference) to numbers, as separation is judged by."""
