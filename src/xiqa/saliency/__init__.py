"""Saliency maps of any network: where the evidence for a class lies.

The way through the core: `method` names a method and its parameters, `registry` knows all of them, `session`
makes the passes that they need (`capture`: one forward, at most one backward pass a rule), `engine` is the
door: `attribute` and `explain`. `probe` scores altered copies, `maps` is what is done to a map
afterwards. The methods lie in packages by kind: `cams`, `gradients`, `relevance`, `perturbation`, `masking`,
`adversarial`, `trained`, and `wrappers` that take any of them.

Start with `engine`, then `cams/gradcam`.
"""
