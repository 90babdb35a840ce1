"""What runs the network: interchangeable engines behind `sernet_core.runtime.Segmenter`.

`registry` names them without importing any, `plan` fixes the sizes, `base` is what an engine must offer,
`upsample` turns logits at a quarter of the size into a mask, `pool` builds engines and chooses among them.
"""
