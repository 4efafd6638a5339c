package web

import (
	"bytes"
	_ "embed"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
	"sync"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"

	"zdl/docs"
)

// article is a page of the documentation. HTML in the Markdown is left out.
type article struct {
	Name, Title string
	Body        template.HTML
}

//go:embed document.css
var documentStyle []byte

var (
	markdown = goldmark.New(
		goldmark.WithExtensions(extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute))),
		goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	documentPage = template.Must(template.New("document").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}} – Zero Downtime Lab</title>
<link rel="stylesheet" href="/docs/style.css">
<nav><a href="/">The lab</a> <a href="/docs/">All documents</a></nav>
<main>
{{.Body}}
</main>
</html>
`))
)

// documents are all of them by name, made when the first one is asked for.
var documents = sync.OnceValue(func() map[string]article {
	out := map[string]article{}
	paths, _ := fs.Glob(docs.Files, "*.md") // a valid pattern
	var list bytes.Buffer
	list.WriteString("# Documentation\n\n")
	for _, path := range paths {
		text, err := docs.Files.ReadFile(path)
		if err != nil {
			continue // it was there when this was built
		}
		d := article{Name: strings.TrimSuffix(path, ".md"), Title: title(text), Body: render(text)}
		out[d.Name] = d
		list.WriteString("- [" + d.Title + "](/docs/" + d.Name + ")\n")
	}
	out[""] = article{Title: "Documentation", Body: render(list.Bytes())}
	return out
})

// title is a document's first heading.
func title(text []byte) string {
	for line := range strings.Lines(string(text)) {
		if heading, ok := strings.CutPrefix(line, "# "); ok {
			return strings.TrimSpace(heading)
		}
	}
	return "Document"
}

func render(text []byte) template.HTML {
	var out bytes.Buffer
	_ = markdown.Convert(text, &out) // into memory: cannot fail
	return template.HTML(out.String())
}

// getDocument shows a document at /NAME or /NAME.md, all there are at /.
func getDocument(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/"), ".md")
	if name == "style.css" {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		w.Write(documentStyle)
		return
	}
	d, ok := documents()[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = documentPage.Execute(w, d) // an error is the visitor's connection
}
