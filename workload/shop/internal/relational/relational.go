// Package relational connects to MariaDB.
package relational

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"regexp"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Database is one database of a server. It is safe for concurrent use.
type Database struct {
	*sql.DB
	config *mysql.Config
}

var name = regexp.MustCompile(`^[a-z_]{1,30}$`)

// Open prepares connections without making one yet. dsn is in go-sql-driver's
// form; a wrong one is refused without repeating it, since it holds a password.
func Open(dsn string) (*Database, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil || !name.MatchString(config.DBName) {
		return nil, errors.New("the address of MariaDB is not of the form USER:PASSWORD@tcp(HOST:3306)/DATABASE")
	}
	config.Timeout, config.ReadTimeout, config.WriteTimeout = time.Second, 3*time.Second, 3*time.Second
	config.InterpolateParams = true // one round trip instead of three; the driver escapes, and refuses multi-byte character sets for it
	config.MultiStatements = false
	config.Logger = log.New(io.Discard, "", 0) // outages are told once, by the service's health
	return open(config)
}

func open(config *mysql.Config) (*Database, error) {
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(10)
	db.SetMaxIdleConns(4)
	db.SetConnMaxIdleTime(time.Minute)
	db.SetConnMaxLifetime(10 * time.Minute)
	return &Database{db, config}, nil
}

// unknownDatabase is the server's number for a database that does not exist.
const unknownDatabase = 1049

// Setup makes the database if there is none, and runs statements that can be run
// again and again.
func (d *Database) Setup(ctx context.Context, statements ...string) error {
	err := d.PingContext(ctx)
	var said *mysql.MySQLError
	if errors.As(err, &said) && said.Number == unknownDatabase {
		config := d.config.Clone()
		config.DBName = ""
		server, err := open(config)
		if err != nil {
			return err
		}
		defer func() { _ = server.DB.Close() }()
		if _, err := server.ExecContext(ctx, "create database if not exists `"+d.config.DBName+"`"); err != nil {
			return fmt.Errorf("make the database %s: %w", d.config.DBName, err)
		}
	} else if err != nil {
		return err
	}
	for _, s := range statements {
		if _, err := d.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%.40s…: %w", s, err)
		}
	}
	return nil
}

// Check tells whether the database answers.
func (d *Database) Check(ctx context.Context) error {
	var one int
	return d.QueryRowContext(ctx, "select 1").Scan(&one)
}
