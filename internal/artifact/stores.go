package artifact

import (
	"os"
	"path/filepath"
	"slices"
)

// StoreUID is the user that the shop's stores run as: the same as in the official
// container images of Redis, MariaDB and RabbitMQ, so that either can be chosen.
const StoreUID = 999

// systemPackages are what programs of an interactive machine are linked against,
// or what their packages ask for, and a store does without.
var systemPackages = []string{
	"gcc-12-base", "libacl1", "libaudit*", "libcap-ng0", "libdb5*", "libmd0", "libpam*", "libselinux1", "libpcre2-8-0", "libbz2-*",
}

// unusedLibraries are parts of libc that no server here calls: conversions
// between character sets, vector mathematics, audit and profiling of loading.
var unusedLibraries = []string{"usr/lib/*/gconv", "usr/lib/*/perl*", "usr/lib/*/audit", "lib/*/libmvec*", "usr/lib/*/libmvec*", "lib/*/libpcprofile*", "lib/*/libmemusage*"}

// redisImage holds Redis. What keeps sessions and carts in the shop.
var redisImage = debianImage{
	name: "redis", recipe: "1",
	packages: []string{"redis-server"},
	without:  slices.Concat(installationPackages, systemPackages),
	prune: slices.Concat(machineFiles, documentation, loaderTools, unusedLibraries,
		[]string{"etc/default", "etc/redis", "etc/pam.*", "etc/security", "usr/bin/redis-benchmark", "var/log", "var/lib/redis"}),
	user: "redis", about: "Redis", uid: StoreUID, home: "/data",
	entrypoint: []string{"/usr/bin/redis-server"},
	settle: func(b *builder, _ *debianImage, root string) error {
		return runAll(b, root, nil, [][]string{{"/usr/bin/redis-server", "--version"}, {"/usr/bin/redis-cli", "--version"}})
	},
	versions: map[string]string{"redis": "redis-tools"},
}

// mariadbImage holds MariaDB's server, what makes its first tables, and a client.
// What keeps shipping costs and ratings in the shop.
var mariadbImage = debianImage{
	name: "mariadb", recipe: "1",
	packages: []string{"mariadb-server-core", "mariadb-client-core"},
	// Its regular expressions are those of PCRE2.
	without: slices.DeleteFunc(slices.Concat(installationPackages, systemPackages), func(name string) bool { return name == "libpcre2-8-0" || name == "libmd0" }),
	prune: slices.Concat(machineFiles, documentation, loaderTools, unusedLibraries, []string{
		"etc/mysql", "usr/bin/mariadb-check", "usr/bin/mariadb-upgrade", "usr/bin/mysql_upgrade", "usr/bin/innochecksum", "usr/share/mysql/mysql_test_data*",
		// Messages in all languages but English.
		"usr/share/mysql/*ian", "usr/share/mysql/[c-ds-z]*sh", "usr/share/mysql/polish", "usr/share/mysql/*ese", "usr/share/mysql/czech", "usr/share/mysql/dutch",
		"usr/share/mysql/french", "usr/share/mysql/german", "usr/share/mysql/greek", "usr/share/mysql/hindi", "usr/share/mysql/korean", "usr/share/mysql/norwegian*",
		"usr/share/mysql/slovak",
	}),
	user: "mysql", about: "MariaDB", uid: StoreUID, home: "/var/lib/mysql",
	entrypoint: []string{"/usr/sbin/mariadbd"},
	settle: func(b *builder, _ *debianImage, root string) error {
		return runAll(b, root, nil, [][]string{{"/usr/sbin/mariadbd", "--version"}, {"/usr/bin/mariadb", "--version"}, {"/usr/bin/my_print_defaults", "--version"}})
	},
	versions: map[string]string{"mariadb": "mariadb-server-core"},
}

// rabbitmqImage holds RabbitMQ with its plugin for Prometheus, and Erlang. What
// tells the shop's dispatch of orders.
var rabbitmqImage = debianImage{
	name: "rabbitmq", recipe: "1",
	packages: []string{"rabbitmq-server"},
	without: slices.Concat(installationPackages, systemPackages, []string{
		"cron*", "logrotate", "procps", "socat", "python3*", "libpython3*", "media-types", "libsqlite3-0", "readline-common", "libreadline*", "libwrap0",
		"libnsl2", "libtirpc*", "libgssapi*", "libk*", "libcom-err2", "libuuid1", "libexpat1", "libffi*", "libncursesw6", "libpopt0", "libproc2-0", "libxxhash0",
		"erlang-snmp", "erlang-eldap", "erlang-ftp", "erlang-tftp",
	}),
	prune: slices.Concat(machineFiles, documentation, loaderTools, unusedLibraries, []string{
		"etc/default", "etc/pam.*", "etc/security", "etc/rabbitmq", "usr/sbin/rabbitmq*", "usr/lib/ocf", "usr/lib/rabbitmq/autocomplete", "var/log", "var/lib/rabbitmq",
		"usr/lib/rabbitmq/lib/*/escript/rabbitmq-[p-z]*", "usr/lib/rabbitmq/lib/*/[IL]*",
		"usr/lib/erlang/lib/*/src", "usr/lib/erlang/lib/*/include", "usr/lib/erlang/lib/*/examples", "usr/lib/erlang/lib/erl_interface*", "usr/lib/erlang/man",
		"usr/lib/erlang/lib/observer*", "usr/lib/rabbitmq/lib/*/plugins/*/include",
		// Other protocols, clouds and log-ins.
		"usr/lib/rabbitmq/lib/*/plugins/amqp10_client*", "usr/lib/rabbitmq/lib/*/plugins/eetcd*", "usr/lib/rabbitmq/lib/*/plugins/gun-*",
		"usr/lib/rabbitmq/lib/*/plugins/jose*", "usr/lib/rabbitmq/lib/*/plugins/base64url*",
		"usr/lib/rabbitmq/lib/*/plugins/rabbitmq_a[mu]*", "usr/lib/rabbitmq/lib/*/plugins/rabbitmq_aws*", "usr/lib/rabbitmq/lib/*/plugins/rabbitmq_[cefjs]*",
		"usr/lib/rabbitmq/lib/*/plugins/rabbitmq_management-*", "usr/lib/rabbitmq/lib/*/plugins/rabbitmq_mqtt*", "usr/lib/rabbitmq/lib/*/plugins/rabbitmq_peer*",
		"usr/lib/rabbitmq/lib/*/plugins/rabbitmq_r*", "usr/lib/rabbitmq/lib/*/plugins/rabbitmq_t*", "usr/lib/rabbitmq/lib/*/plugins/rabbitmq_web_[ms]*",
	}),
	script: erlangScript,
	user:   "rabbitmq", about: "RabbitMQ", uid: StoreUID, home: "/var/lib/rabbitmq",
	env:        []string{"PATH=/usr/lib/rabbitmq/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"},
	entrypoint: []string{"/usr/lib/rabbitmq/bin/rabbitmq-server"},
	settle: func(b *builder, d *debianImage, root string) error {
		if err := linkVersion(root, "usr/lib/erlang/erts-*", "usr/local/lib/erts"); err != nil {
			return err
		}
		if err := linkVersion(root, "usr/lib/rabbitmq/lib/rabbitmq_server-*", "usr/local/lib/rabbitmq"); err != nil {
			return err
		}
		// Erlang waits for ever for a /dev/null to open.
		dev := filepath.Join(root, "dev")
		if err := os.Mkdir(dev, 0o755); err != nil {
			return err
		}
		defer os.RemoveAll(dev)
		if err := os.WriteFile(filepath.Join(dev, "null"), nil, 0o644); err != nil {
			return err
		}
		// Without a shell, which comes from another layer.
		env := []string{"ROOTDIR=/usr/lib/erlang", "BINDIR=/usr/local/lib/erts/bin", "EMU=beam", "PROGNAME=erl", "HOME=/", "ERL_LIBS=/usr/local/lib/rabbitmq/plugins"}
		return runAll(b, root, env, [][]string{{"/usr/local/lib/erts/bin/erlexec", "-noshell", "-eval", d.script}})
	},
	versions: map[string]string{"rabbitmq": "rabbitmq-server", "erlang": "erlang-base"},
}

// erlangScript proves that every application is there that RabbitMQ says it needs,
// and loads all their modules.
const erlangScript = `Load = fun Load(App) ->
  case application:load(App) of
    {error, {already_loaded, App}} -> ok;
    ok ->
      {ok, Modules} = application:get_key(App, modules),
      [{module, M} = code:ensure_loaded(M) || M <- Modules],
      {ok, Needed} = application:get_key(App, applications),
      [Load(N) || N <- Needed]
  end
end,
[Load(App) || App <- [rabbitmq_prelaunch, rabbit, rabbitmq_prometheus]],
halt().`

// runAll runs programs of the tree at root, one after the other.
func runAll(b *builder, root string, env []string, programs [][]string) error {
	for _, argv := range programs {
		if err := runIn(b, root, env, argv...); err != nil {
			return err
		}
	}
	return nil
}
