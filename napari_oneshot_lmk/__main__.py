"""``python -m napari_oneshot_lmk`` is the command ``oneshot-lmk``."""

from napari_oneshot_lmk.cli.app import main

if __name__ == "__main__":
    main()
