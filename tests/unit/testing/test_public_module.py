"""`fly_billing.testing` works in any project: it needs no test framework, and starts no Dagster."""

import subprocess
import sys

import fly_billing.testing

IMPORT = "import sys; sys.modules['pytest'] = None; import fly_billing.testing; print('dagster' in sys.modules)"


def test_the_module_needs_neither_pytest_nor_dagster() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], capture_output=True, text=True, encoding="utf-8", check=False, timeout=600
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


def test_every_public_name_has_a_docstring() -> None:
    public = {name: getattr(fly_billing.testing, name) for name in fly_billing.testing.__all__}
    assert [name for name, value in public.items() if not name.isupper() and not value.__doc__] == []
