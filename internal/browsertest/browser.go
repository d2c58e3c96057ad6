// Package browsertest lets tests look at a page through a real browser.
package browsertest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Ask draws the page in chromium, evaluates a JavaScript expression when it is loaded, and returns its value as text. Whatever the browser has
// to say on its console is a failure. Without chromium the test is skipped.
func Ask(t *testing.T, page []byte, expression string) string {
	t.Helper()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("needs chromium")
	}
	if testing.Short() {
		t.Skip("a browser takes seconds to start")
	}
	// The pages themselves have no script.
	probe := `<script>window.onload = () => { const answer = String(` + expression + `);
document.documentElement.innerHTML = "<body></body>"; document.body.innerText = "answer{" + answer + "}"; }</script></body>`
	dir := t.TempDir()
	file := filepath.Join(dir, "page.html")
	if err := os.WriteFile(file, []byte(strings.Replace(string(page), "</body>", probe, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr",
		"--user-data-dir="+filepath.Join(dir, "profile"), "--window-size=1100,1400", "--dump-dom", "file://"+file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	dom, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium: %v\n%s", err, stderr.String())
	}
	if strings.Contains(stderr.String(), "CONSOLE") {
		t.Errorf("the browser complains:\n%s", stderr.String())
	}
	answer := regexp.MustCompile(`answer\{(.*)\}`).FindSubmatch(dom)
	if answer == nil {
		t.Fatalf("the browser gave no answer:\n%s", dom)
	}
	return string(answer[1])
}
