"""The live view: camera, overlay and figures of a running node on one small page, without internet."""
