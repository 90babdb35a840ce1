"""Other networks to stand beside ours: same frames, same engines, same clock. The product never imports them.

`registry` names and builds them, `deeplab` and `unet` are written from their papers, `borrowed` wraps two of
the package transformers. Importing `registry` makes their checkpoints readable like our own.
"""
