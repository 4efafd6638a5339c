package main

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// screen is where people look: lines that stay, and below them, on a
// terminal, some that are drawn again and again.
type screen struct {
	w     io.Writer
	live  bool // a terminal that can go back
	drawn int  // lines of the lower part
}

func newScreen(w io.Writer) *screen {
	return &screen{w: w, live: isTerminal(w) && os.Getenv("TERM") != "dumb"}
}

// say writes a line that stays.
func (s *screen) say(line string) {
	s.erase()
	io.WriteString(s.w, line+"\n")
}

// draw replaces the lower part. Lines must fit; see width.
func (s *screen) draw(lines []string) {
	if !s.live {
		return
	}
	var b strings.Builder
	if s.drawn > 0 {
		b.WriteString(up(s.drawn))
	}
	for _, l := range lines {
		b.WriteString(l + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	io.WriteString(s.w, b.String())
	s.drawn = len(lines)
}

// erase removes the lower part.
func (s *screen) erase() {
	if s.drawn > 0 {
		io.WriteString(s.w, up(s.drawn)+"\x1b[J")
		s.drawn = 0
	}
}

// up moves the cursor to the beginning of a line above.
func up(lines int) string { return strings.Repeat("\x1b[A", lines) + "\r" }

// width is how many characters fit into a line, 80 where that is unknown.
func (s *screen) width() int {
	if f, ok := s.w.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 20 {
			return w
		}
	}
	return 80
}

// fit cuts a line without colours to a number of characters.
func fit(line string, width int) string {
	if r := []rune(line); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return line
}
