"""`python -m uploader` is the same command as `qm-uploader`."""

from uploader.cli.main import main

if __name__ == "__main__":
    main()
