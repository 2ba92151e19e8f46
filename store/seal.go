package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"github.com/cbnet-io/cbnet/store/kv"
)

const (
	// checkKey holds a known text, sealed with the store's key: it tells
	// whether a key is the right one, and that there is one.
	checkKey  = "seal/check"
	checkText = "cbnet seal check 1\n"
	// maxSealed bounds what Unseal reads, in bytes.
	maxSealed = 16 << 20
)

func sealKeyFile(o Options) string {
	if o.SealKey != "" {
		return o.SealKey
	}
	return filepath.Join(o.Dir, "seal.key")
}

// openKey reads the sealing key and compares it with what was sealed before.
// Only a store in which nothing is sealed gets a new one.
func (s *Store) openKey(ctx context.Context, file string) (*age.X25519Identity, error) {
	check, err := s.Get(ctx, checkKey)
	fresh := errors.Is(err, kv.ErrNotFound)
	if err != nil && !fresh {
		return nil, err
	}
	key, err := readKey(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && fresh:
		if key, err = makeKey(file); err != nil {
			return nil, err
		}
		s.log.Info("seal key made", "file", file)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("store: %w: %s is missing, and the store holds data that it sealed; put the file back", ErrKey, file)
	case err != nil:
		return nil, err
	}
	if !fresh {
		if text, err := unseal(key, check.Value); err != nil || string(text) != checkText {
			return nil, fmt.Errorf("store: %w: %s is not the key that sealed this store; put the right file back", ErrKey, file)
		}
		return key, nil
	}
	sealed, err := seal(key, []byte(checkText))
	if err != nil {
		return nil, err
	}
	err = s.Create(ctx, checkKey, sealed)
	if errors.Is(err, kv.ErrExists) {
		return s.openKey(ctx, file) // another server was faster
	}
	return key, err
}

// readKey reads a key file that only its owner may read.
func readKey(file string) (*age.X25519Identity, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("store: %w: %w", ErrKey, err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("store: %w: %s has mode %04o, so others may read it; run: chmod 600 %s", ErrKey, file, mode, file)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("store: %w: %w", ErrKey, err)
	}
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := age.ParseX25519Identity(line)
		if err != nil {
			return nil, fmt.Errorf("store: %w: %s holds no age identity (AGE-SECRET-KEY-1...)", ErrKey, file)
		}
		return key, nil
	}
	return nil, fmt.Errorf("store: %w: %s is empty", ErrKey, file)
}

// makeKey draws a key and writes it so that after a crash the file is complete
// or absent. A file that exists is never replaced.
func makeKey(file string) (*age.X25519Identity, error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("store: %w: %w", ErrKey, err)
	}
	dir := filepath.Dir(file)
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	text := "# cbnet seal key: keep a copy in a safe place, without it the store's secrets are lost\n# public key: " +
		key.Recipient().String() + "\n" + key.String() + "\n"
	if err := writeNew(file, []byte(text)); err != nil {
		return nil, fmt.Errorf("store: %w: %w", ErrKey, err)
	}
	return key, nil
}

// writeNew writes a new file with mode 0600: temporary, synced, then linked to
// its name, which fails if that exists.
func writeNew(file string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), ".seal-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), file); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Seal encrypts a secret for this store. The same secret is sealed differently
// each time.
func (s *Store) Seal(plain []byte) ([]byte, error) { return seal(s.key, plain) }

// Unseal decrypts what Seal returned; [ErrSealed] if it was damaged or sealed
// with another key.
func (s *Store) Unseal(sealed []byte) ([]byte, error) { return unseal(s.key, sealed) }

func seal(key *age.X25519Identity, plain []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, key.Recipient())
	if err != nil {
		return nil, fmt.Errorf("store: seal: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("store: seal: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("store: seal: %w", err)
	}
	return out.Bytes(), nil
}

func unseal(key *age.X25519Identity, sealed []byte) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(sealed), key)
	if err != nil {
		return nil, fmt.Errorf("store: %w: %w", ErrSealed, err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxSealed+1))
	if err != nil {
		return nil, fmt.Errorf("store: %w: %w", ErrSealed, err)
	}
	if len(plain) > maxSealed {
		return nil, fmt.Errorf("store: %w: larger than %d bytes", ErrSealed, maxSealed)
	}
	return plain, nil
}
