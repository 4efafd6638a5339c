// Command dev shows the page with a lab that is made up, for work on the page:
//
//	go run ./internal/web/ui/dev -moment broken
//	cd bin/ui && ZDL_PAGE=http://127.0.0.1:8421 npm run dev
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"

	"zdl/internal/web/ui"
	"zdl/internal/web/ui/fixture"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8421", "where to listen")
	moment := flag.String("moment", "playing", "ready, playing, broken, down, won, held, replayed, free, edge or zones")
	large := flag.Bool("large", false, "11 nodes and 60 pods instead of 6 nodes")
	rate := flag.Float64("rate", 100, "requests a second")
	owner := flag.Bool("owner", true, "whoever looks directs the game")
	flag.Parse()
	l := fixture.HA()
	if *large {
		l = fixture.Shop()
	}
	l.Rate, l.Owner = *rate, *owner
	if err := l.Show(*moment); err != nil {
		fmt.Fprintln(os.Stderr, "dev:", err)
		os.Exit(2)
	}
	files := os.DirFS("internal/web/ui/dist")
	if _, err := os.Stat("internal/web/ui/dist/index.html"); err != nil {
		files = ui.Files()
	}
	fmt.Printf("http://%s shows %s\n", *listen, l.At())
	fmt.Fprintln(os.Stderr, http.ListenAndServe(*listen, l.Handler(files)))
	os.Exit(1)
}
