package server

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"sync"
	"time"
)

// DownloadName is the name the node daemon is downloaded by.
const DownloadName = "cbnetd-linux-amd64"

// Download is the node daemon's executable, which machines fetch when they boot
// and check by its checksum. It keeps the file open: an upgrade that puts
// another file in its place takes effect when the server starts again, together
// with the checksum that new machines are told.
type Download struct {
	file *os.File
	sum  string // SHA-256, hex

	mu   sync.Mutex // guards the fields below
	mod  time.Time  // of the file when it was last found to have the checksum
	size int64
}

// OpenDownload opens the file and computes its checksum.
func OpenDownload(path string) (*Download, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("node daemon: put cbnetd beside cbserver: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("node daemon: %w", err)
	}
	d := &Download{file: f}
	st, err := f.Stat()
	if err == nil {
		d.mod, d.size = st.ModTime(), st.Size()
		d.sum, err = d.checksum()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("node daemon: %w", err), f.Close())
	}
	return d, nil
}

// SHA256 returns the checksum in hex.
func (d *Download) SHA256() string { return d.sum }

// Close closes the file.
func (d *Download) Close() error { return d.file.Close() }

// content reads the file from its start, independently of other readers.
func (d *Download) content() *io.SectionReader { return io.NewSectionReader(d.file, 0, math.MaxInt64) }

func (d *Download) checksum() (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, d.content()); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// verify computes the checksum again if the file was written to.
func (d *Download) verify() (size int64, err error) {
	st, err := d.file.Stat()
	if err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if st.ModTime().Equal(d.mod) && st.Size() == d.size {
		return d.size, nil
	}
	sum, err := d.checksum()
	if err != nil {
		return 0, err
	}
	if sum != d.sum {
		return 0, errors.New("the node daemon was changed in place; restart cbserver")
	}
	d.mod, d.size = st.ModTime(), st.Size()
	return d.size, nil
}

// ServeHTTP sends the file, with its checksum in the header X-Checksum-Sha256.
func (d *Download) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	size, err := d.verify()
	if err != nil {
		writeProblem(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Checksum-Sha256", d.sum)
	w.Header().Set("ETag", `"`+d.sum+`"`)
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(d.file, 0, size))
}
