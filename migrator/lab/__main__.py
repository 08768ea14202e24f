import sys

from migrator.lab.command import main

if __name__ == "__main__":
    sys.exit(main())
