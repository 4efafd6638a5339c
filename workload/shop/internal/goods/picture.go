package goods

import (
	"fmt"
	"strings"
)

// palette are pairs of a body's colour and its accent.
var palette = [][2]string{
	{"#2f5d62", "#f2a65a"}, {"#7a3e48", "#e8c07d"}, {"#31572c", "#ecf39e"}, {"#1d3557", "#e63946"}, {"#5f0f40", "#fb8b24"},
	{"#264653", "#e9c46a"}, {"#3d405b", "#81b29a"}, {"#6b4226", "#d9ae94"}, {"#0b525b", "#c9e4ca"}, {"#4a4e69", "#f2e9e4"}, {"#283618", "#dda15e"},
}

// Picture draws a product as SVG, 320 × 240. The same product always looks the
// same, and no two of a category share both colours and shape.
func Picture(p Product) []byte {
	singular, _, _ := strings.Cut(p.ID, "-")
	at := draw(p.ID[strings.Index(p.ID, "-")+1:], "colour", len(palette))
	for n, name := range names { // the seed's names have a colour each
		if strings.HasSuffix(p.ID, strings.ToLower(name)) {
			at = n
		}
	}
	body, accent := palette[at][0], palette[at][1]
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 240" role="img" aria-label="%s">`, escape(p.Name))
	fmt.Fprintf(&b, `<rect width="320" height="240" fill="%s" fill-opacity=".12"/><ellipse cx="160" cy="212" rx="96" ry="9" fill="#000" fill-opacity=".12"/>`, body)
	variant := draw(p.ID, "shape", 3)
	switch singular {
	case "mug":
		mug(&b, body, accent, variant)
	case "lamp":
		lamp(&b, body, accent, variant)
	case "plant":
		plant(&b, body, accent, variant, draw(p.ID, "leaves", 4))
	case "clock":
		clock(&b, body, accent, draw(p.ID, "hour", 12), draw(p.ID, "minute", 12))
	case "notebook":
		notebook(&b, body, accent, variant)
	case "umbrella":
		umbrella(&b, body, accent, variant)
	default:
		fmt.Fprintf(&b, `<rect x="100" y="80" width="120" height="130" rx="8" fill="%s"/>`, body)
	}
	b.WriteString(`</svg>`)
	return []byte(b.String())
}

func mug(b *strings.Builder, body, accent string, variant int) {
	width := 96 + 12*variant
	fmt.Fprintf(b, `<path d="M%d 118 q58 -4 52 36 q-6 36 -58 34" fill="none" stroke="%s" stroke-width="14"/>`, 150+width/2, body)
	fmt.Fprintf(b, `<path d="M%d 84 h%d l-6 112 q-2 16 -18 16 h%d q-16 0 -18 -16 z" fill="%s"/>`, 150-width/2, width, -(width - 48), body)
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`, 153-width/2, 118+12*variant, width-6, 16, accent)
	b.WriteString(`<path d="M132 66 q-10 -14 0 -26 M156 66 q-10 -14 0 -26" fill="none" stroke="#8a8a8a" stroke-width="4" stroke-linecap="round" opacity=".6"/>`)
}

func lamp(b *strings.Builder, body, accent string, variant int) {
	elbow := 96 + 14*variant
	fmt.Fprintf(b, `<rect x="116" y="200" width="88" height="12" rx="6" fill="%s"/>`, body)
	fmt.Fprintf(b, `<path d="M160 204 L%d 136 L182 74" fill="none" stroke="%s" stroke-width="8" stroke-linejoin="round"/>`, elbow, body)
	fmt.Fprintf(b, `<path d="M182 92 L240 92 L268 168 L154 168 z" fill="%s" opacity=".35"/>`, accent)
	fmt.Fprintf(b, `<path d="M168 64 q42 -34 84 0 l14 32 h-112 z" fill="%s"/><circle cx="210" cy="100" r="12" fill="%s"/>`, body, accent)
}

func plant(b *strings.Builder, body, accent string, variant, leaves int) {
	for i := range 5 + leaves {
		turn := -64 + 128*i/(4+leaves)
		fmt.Fprintf(b, `<path d="M160 156 q%d -52 0 -%d q%d %d 0 %d" fill="%s" transform="rotate(%d 160 156)"/>`,
			-18-4*variant, 100+10*variant, 18+4*variant, 40, 100+10*variant, []string{"#4f772d", "#31572c", "#90a955"}[(i+variant)%3], turn)
	}
	fmt.Fprintf(b, `<path d="M112 150 h96 l-12 60 h-72 z" fill="%s"/><rect x="106" y="142" width="108" height="18" rx="4" fill="%s"/>`, body, accent)
}

func clock(b *strings.Builder, body, accent string, hour, minute int) {
	fmt.Fprintf(b, `<circle cx="160" cy="122" r="88" fill="%s"/><circle cx="160" cy="122" r="72" fill="#fdfcf7"/>`, body)
	for i := range 12 {
		fmt.Fprintf(b, `<rect x="158" y="56" width="4" height="%d" fill="%s" transform="rotate(%d 160 122)"/>`, 8+4*boolean(i%3 == 0), body, 30*i)
	}
	fmt.Fprintf(b, `<path d="M160 126 V82" stroke="%s" stroke-width="7" stroke-linecap="round" transform="rotate(%d 160 122)"/>`, body, 30*hour+5*minute/2)
	fmt.Fprintf(b, `<path d="M160 130 V64" stroke="%s" stroke-width="4" stroke-linecap="round" transform="rotate(%d 160 122)"/><circle cx="160" cy="122" r="7" fill="%s"/>`, accent, 30*minute, accent)
}

func notebook(b *strings.Builder, body, accent string, variant int) {
	b.WriteString(`<rect x="102" y="38" width="128" height="172" rx="5" fill="#f7f3e8"/>`)
	fmt.Fprintf(b, `<rect x="94" y="34" width="128" height="172" rx="8" fill="%s"/><rect x="%d" y="34" width="9" height="172" fill="%s"/>`, body, 112+40*variant, accent)
	b.WriteString(`<rect x="128" y="70" width="62" height="34" rx="3" fill="#fff" fill-opacity=".85"/><path d="M136 82 h46 M136 92 h30" stroke="#555" stroke-width="3"/>`)
}

func umbrella(b *strings.Builder, body, accent string, variant int) {
	fmt.Fprintf(b, `<path d="M160 36 V196 q0 18 18 18 q16 0 16 -16" fill="none" stroke="#5b4a3a" stroke-width="7" stroke-linecap="round"/>`)
	fmt.Fprintf(b, `<path d="M48 136 Q60 44 160 44 Q260 44 272 136 q-18 -16 -37 0 q-19 -16 -38 0 q-18 -16 -37 0 q-19 -16 -37 0 q-19 -16 -38 0 q-19 -16 -37 0 z" fill="%s"/>`, body)
	fmt.Fprintf(b, `<path d="M%d 136 Q%d 64 160 44 Q%d 64 %d 136 q-18 -16 -37 0 q-19 -16 -37 0 z" fill="%s" opacity=".8"/>`, 123, 130+6*variant, 190-6*variant, 197, accent)
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;").Replace(s)
}
