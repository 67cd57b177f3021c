"""``python -m relion_attn_picker`` is ``attnpick``."""

from relion_attn_picker.cli import main

if __name__ == "__main__":
    main()
