package compliance

import (
	"encoding/json"
	"html/template"
	"io"
	"slices"

	"github.com/fluoro-io/fluoro/internal/audit"
)

// page is one file without scripts and without anything from elsewhere.
var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"in":    func(list []Area, a Area) bool { return slices.Contains(list, a) },
	"class": func(s State) string { return map[State]string{Met: "met", NotMet: "not"}[s] },
}).Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Compliance of account {{.Report.Account}}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>body{font:14px/1.5 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em;color:#16191f;background:#fff}
table{border-collapse:collapse;width:100%;margin:1em 0}th,td{border:1px solid #c6c6cd;padding:.4em .6em;text-align:left;vertical-align:top}
th{background:#f2f3f3}.met{color:#1d6b1d}.not{color:#b0120a;font-weight:bold}small{color:#545b64}code{word-break:break-all}</style></head><body>
<h1>Compliance of account {{.Report.Account}}</h1>
<p>Made {{.Report.Made.Format "2006-01-02 15:04:05 MST"}} by {{.Report.By}}, service {{.Report.Service}}.<br>{{.Report.Notice}}</p>
<table><thead><tr><th scope="col">state</th><th scope="col">point</th><th scope="col">GDPR</th><th scope="col">HIPAA (45 CFR)</th><th scope="col">PCI DSS v4.0.1</th><th scope="col">facts</th></tr></thead><tbody>
{{range $p := .Report.Points}}<tr><td class="{{class .State}}">{{.State}}</td><td>{{.Topic}}{{with .Note}}<br><small>{{.}}</small>{{end}}</td><td>{{.GDPR}}</td><td>{{.HIPAA}}</td><td>{{.PCI}}</td><td>{{range $.Report.Facts}}{{if in $p.Areas .Area}}<span class="{{class .State}}">{{.State}}</span>: {{.Area}}: {{.Name}}: {{.Value}}<br>{{end}}{{end}}</td></tr>
{{end}}</tbody></table>
<h2>Who may do what</h2>
{{if .Report.Principals}}<table><thead><tr><th scope="col">principal</th><th scope="col">kind</th><th scope="col">policies</th><th scope="col">created</th><th scope="col">last used</th></tr></thead><tbody>
{{range .Report.Principals}}<tr><td>{{.ARN}}{{if .Disabled}} <small>disabled</small>{{end}}</td><td>{{.Kind}}</td><td>{{range .Policies}}{{.}}<br>{{end}}</td><td>{{.Created}}</td><td>{{or .LastUsed "never"}}</td></tr>
{{end}}</tbody></table>{{else}}<p>Nothing is known of principals.</p>{{end}}
<h2>Signature</h2>
<p>The JSON form of this report is signed with {{.Signed.Algorithm}}, key {{.Signed.Fingerprint}}:<br><code>{{.Signed.Signature}}</code></p>
</body></html>
`))

// HTML writes a signed report as one HTML file.
func HTML(w io.Writer, s *audit.SignedText) error {
	r := &Report{}
	if err := json.Unmarshal(s.Text, r); err != nil {
		return err
	}
	return page.Execute(w, struct {
		Report *Report
		Signed *audit.SignedText
	}{r, s})
}
