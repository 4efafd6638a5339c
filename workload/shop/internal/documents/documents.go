// Package documents connects to the document store.
package documents

import (
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Open prepares connections to the database shop without making one yet. A wrong
// address is refused without repeating it, since it holds a password.
func Open(uri, name string) (*mongo.Client, *mongo.Database, error) {
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetAppName("shop-" + name).
		SetServerSelectionTimeout(time.Second).SetConnectTimeout(time.Second).SetTimeout(2 * time.Second).
		SetMaxPoolSize(16).SetMinPoolSize(0).SetMaxConnIdleTime(time.Minute).
		SetHeartbeatInterval(10 * time.Second).SetRetryWrites(false))
	if err != nil {
		return nil, nil, errors.New("the address of the document store is not of the form mongodb://USER:PASSWORD@HOST:27017/")
	}
	return client, client.Database("shop"), nil
}
