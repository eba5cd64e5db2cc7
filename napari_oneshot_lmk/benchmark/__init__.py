"""Methods run over folders of images with known landmarks, and the speed."""
