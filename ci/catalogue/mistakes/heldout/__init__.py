"""Right functions and wrong rules that gradcheck was never tuned on. Do not tune it on them."""
