package artifact

import (
	"slices"
)

// PostgresUID is the user that the database runs as in its image.
const PostgresUID = 101

// postgresImage holds PostgreSQL and Patroni. Left out is, besides what no image
// needs, the scripts around pg_ctl for many clusters on one machine, just-in-time
// compilation of queries, and Patroni's other stores for who leads.
var postgresImage = debianImage{
	name: "postgres", recipe: "1",
	packages: []string{"postgresql", "patroni"},
	without: slices.Concat(
		[]string{"postgresql", "postgresql-common*", "postgresql-client-common", "libllvm*", "libz3-*"},
		installationPackages,
		[]string{"python3-etcd", "python3-dnspython"},
	),
	prune: slices.Concat(
		machineFiles, []string{"etc/patroni"}, documentation,
		[]string{
			"usr/share/postgresql/*/man", "usr/share/patroni",
			"usr/lib/*/gconv", "usr/lib/*/perl*", "usr/lib/postgresql/*/lib/bitcode", "usr/lib/postgresql/*/lib/llvmjit*",
			"usr/lib/postgresql/*/bin/pgbench", "usr/lib/postgresql/*/lib/pgxs",
			"usr/lib/python3*/test", "usr/lib/python3*/idlelib", "usr/lib/python3*/lib2to3", "usr/lib/python3*/pydoc_data", "usr/lib/python3*/ensurepip",
		},
		loaderTools, []string{"**/__pycache__"},
	),
	script: pycScript,
	modules: []string{
		"patroni.__main__", "patroni.api", "patroni.ha", "patroni.dcs.kubernetes", "patroni.postgresql", "patroni.validator",
		"patroni.watchdog", "patroni.psycopg", "patroni.postgresql.rewind", "multiprocessing.popen_fork", "importlib.metadata", "psycopg2", "urllib3", "logging.handlers",
	},
	user: "postgres", about: "PostgreSQL", uid: PostgresUID, home: "/var/lib/postgresql",
	entrypoint: []string{"/usr/bin/patroni"},
	settle:     settlePostgres,
	versions:   map[string]string{"postgres": "postgresql-[0-9]*", "patroni": "patroni"},
}

// settlePostgres gives the programs a place that does not name the version, and
// compiles what Patroni imports.
func settlePostgres(b *builder, d *debianImage, root string) error {
	if err := linkVersion(root, "usr/lib/postgresql/*", "usr/local/lib/postgresql"); err != nil {
		return err
	}
	b.report(Event{Phase: "compile", Detail: "Patroni's modules"})
	for _, argv := range [][]string{
		{"/usr/local/lib/postgresql/bin/postgres", "--version"},
		{"/usr/local/lib/postgresql/bin/pg_rewind", "--version"},
		append([]string{"/usr/bin/python3", "-B", "-c", d.script}, d.modules...),
	} {
		if err := runIn(b, root, nil, argv...); err != nil {
			return err
		}
	}
	return nil
}

// pycScript compiles what Patroni imports, as the packages' scripts would have:
// the root of its containers is read-only, so they could not keep it. The result
// is valid whatever the files' times are.
const pycScript = `import importlib, py_compile, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
for module in list(sys.modules.values()):
    source = getattr(module, "__file__", None)
    if source and source.endswith(".py"):
        py_compile.compile(source, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
`
