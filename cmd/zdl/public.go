package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"zdl/internal/lab"
	"zdl/internal/web"
)

// listenFlags say where the page is served, for up and for the daemon it leaves.
func listenFlags(cmd *cobra.Command, l *lab.Listen) {
	flags := cmd.Flags()
	flags.StringVar(&l.Page, "listen", "", "address of the page and its API on this machine, 127.0.0.1:PORT (default the first free of 127.0.0.1:8420-8499)")
	flags.StringVar(&l.Public, "public", "", "serve visitors from other machines, too, at IP:PORT; the owner then needs a token to direct the game")
	flags.StringArrayVar(&l.Hosts, "public-host", nil, "a name by which visitors address the page, with --public; may be repeated")
	flags.StringArrayVar(&l.Proxies, "trust-proxy", nil, "network (CIDR) of a proxy whose X-Forwarded-For and -Proto are believed, with --public; may be repeated")
}

// ownerTokenCmd prints what makes somebody with a browser the owner.
func (a *app) ownerTokenCmd() *cobra.Command {
	var rotate bool
	cmd := &cobra.Command{
		Use:   "owner-token",
		Short: "Print the token that makes a visitor of the page its owner",
		Long: `Prints the owner's token. Whoever enters it on the page, or sends it with a request
as "Authorization: Bearer TOKEN", may direct the game, inject faults and heal them.
On the lab's own machine the zdl command needs none.`,
		Example: `  zdl owner-token
  zdl owner-token --rotate     a new one; who has shown the old one is no owner any more
  curl -H "Authorization: Bearer $(zdl owner-token)" http://127.0.0.1:8420/api/v1/session`,
		Args: args(cobra.NoArgs, "zdl owner-token"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.connect(cmd)
			if err != nil {
				return err
			}
			token, err := ownerToken(cmd.Context(), client, rotate)
			if err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, token)
			return nil
		},
	}
	cmd.Flags().BoolVar(&rotate, "rotate", false, "make a new token first, so that the old one counts no longer")
	return cmd
}

func ownerToken(ctx context.Context, client *lab.Client, rotate bool) (string, error) {
	var out web.TokenReply
	var err error
	if rotate {
		err = client.Do(ctx, http.MethodPost, "/api/v1/owner/token", struct{}{}, &out)
	} else {
		err = client.Do(ctx, http.MethodGet, "/api/v1/owner/token", nil, &out)
	}
	return out.Token, err
}

// printPublic says where visitors go, and what the owner needs.
func (a *app) printPublic(ctx context.Context, i *lab.Info) error {
	client, err := lab.Connect(a.dirs, a.name)
	if err != nil {
		return err
	}
	token, err := ownerToken(ctx, client, false)
	if err != nil {
		return err
	}
	w := a.stdout
	fmt.Fprintf(w, "\nVisitors from other machines: %s\n", paint(w, bold, i.Public))
	fmt.Fprintf(w, "  owner's token  %s\n", paint(w, bold, token))
	fmt.Fprintf(w, "  Enter it on the page, or send \"Authorization: Bearer TOKEN\": it chooses levels, pauses,\n"+
		"  resets, attacks and heals. zdl owner-token prints it again, --rotate makes a new one.\n")
	return nil
}
