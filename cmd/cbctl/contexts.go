package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/identity"
)

// contextVar names a context file that wins over the one in use.
const contextVar = "CBCTL_CONTEXT"

const contextSuffix = ".context"

// errNoContext: cbctl does not know any server.
var errNoContext = errors.New("no server is known: log in with cbctl login URL, or set " + contextVar + " to the server's admin.context")

// dial returns a client of the server in use. While the server cannot be reached
// the user is told what is waited for.
func dial(cmd *cobra.Command, opts ...api.Option) (*api.Client, error) {
	log, err := newLog(cmd)
	if err != nil {
		return nil, err
	}
	opts = append([]api.Option{api.WithLog(log), api.WithRetryNotice(retryNotice(cmd.ErrOrStderr()))}, opts...)
	path := os.Getenv(contextVar)
	if path == "" {
		var err error
		if path, err = currentContext(); err != nil {
			return nil, err
		}
	}
	c, err := readContext(path)
	if err != nil && os.Getenv(contextVar) != "" {
		return nil, fmt.Errorf("%s: %w", contextVar, err)
	}
	if err != nil {
		return nil, err
	}
	client, err := api.NewClient(c, opts...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return client, nil
}

// retryNotice returns what tells the user that the server is waited for: once,
// however many calls fail, and over the live line if there is one.
func retryNotice(w io.Writer) func(error, time.Duration) {
	var mu sync.Mutex // guards last
	var last time.Time
	return func(err error, d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		if !last.IsZero() && time.Since(last) < d {
			return
		}
		last = time.Now()
		clean := ""
		if isTerminal(w) {
			clean = eraseLine
		}
		fmt.Fprintf(w, "%scbctl: %v; trying again for %s\n", clean, err, d)
	}
}

func readContext(path string) (api.Context, error) {
	f, err := os.Open(path)
	if err != nil {
		return api.Context{}, err
	}
	data, err := io.ReadAll(io.LimitReader(f, api.MaxContext+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return api.Context{}, err
	}
	c, err := api.ParseContext(data)
	if err != nil {
		return api.Context{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// contextDir is where `cbctl login` keeps contexts, one file each, and in the
// file "current" the name of the one in use.
func contextDir() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("contexts: %w", err)
	}
	return filepath.Join(dir, "cbnet"), nil
}

func currentContext() (string, error) {
	dir, err := contextDir()
	if err != nil {
		return "", errors.Join(errNoContext, err)
	}
	name, err := os.ReadFile(filepath.Join(dir, "current"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", errNoContext
	}
	if err != nil {
		return "", fmt.Errorf("contexts: %w", err)
	}
	return contextFile(dir, strings.TrimSpace(string(name)))
}

// contextFile returns the path of a context by its name.
func contextFile(dir, name string) (string, error) {
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return "", usageError{fmt.Errorf("context %q: want a name without slashes", name)}
	}
	return filepath.Join(dir, name+contextSuffix), nil
}

// saveContext writes a context and puts it in use.
func saveContext(c api.Context) error {
	dir, err := contextDir()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("contexts: %w", err)
	}
	path, err := contextFile(dir, c.Name)
	if err != nil {
		return err
	}
	data, err := c.Marshal()
	if err != nil {
		return err
	}
	if err := identity.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("context: %w", err)
	}
	return useContext(dir, c.Name)
}

func useContext(dir, name string) error {
	if err := identity.WriteFile(filepath.Join(dir, "current"), []byte(name+"\n"), 0o600); err != nil {
		return fmt.Errorf("contexts: %w", err)
	}
	return nil
}

// contextInfo is one line of `cbctl context list`.
type contextInfo struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	Current bool   `json:"current"`
}

func newContextCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "context", Short: "list and choose the servers that cbctl knows", RunE: group}
	var out output
	list := &cobra.Command{
		Use: "list", Short: "list the servers that cbctl knows", Args: args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := listContexts()
			if err != nil {
				return err
			}
			return out.print(cmd.OutOrStdout(), list, func(t *table) {
				t.head("CURRENT", "NAME", "URL")
				for _, c := range list {
					mark := ""
					if c.Current {
						mark = "*"
					}
					t.row(mark, c.Name, c.URL)
				}
			})
		},
	}
	out.register(list)
	use := &cobra.Command{
		Use: "use NAME", Short: "choose the server that the other commands speak to", Args: args(1, "the name of a context"),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := contextDir()
			if err != nil {
				return err
			}
			path, err := contextFile(dir, args[0])
			if err != nil {
				return err
			}
			_, err = readContext(path)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("there is no context %s; see cbctl context list", args[0])
			}
			if err != nil {
				return err
			}
			return useContext(dir, args[0])
		},
	}
	cmd.AddCommand(list, use)
	return cmd
}

// listContexts reads the contexts, and the one of CBCTL_CONTEXT first.
func listContexts() ([]contextInfo, error) {
	out := []contextInfo{}
	env := os.Getenv(contextVar)
	if env != "" {
		c, err := readContext(env)
		if err != nil {
			return nil, err
		}
		out = append(out, contextInfo{Name: contextVar, URL: c.URL, Current: true})
	}
	dir, err := contextDir()
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"+contextSuffix))
	if err != nil {
		return nil, fmt.Errorf("contexts: %w", err)
	}
	slices.Sort(files)
	current, err := currentContext()
	if err != nil && !errors.Is(err, errNoContext) {
		return nil, err
	}
	for _, f := range files {
		c, err := readContext(f)
		if err != nil {
			return nil, err
		}
		out = append(out, contextInfo{Name: strings.TrimSuffix(filepath.Base(f), contextSuffix), URL: c.URL, Current: env == "" && f == current})
	}
	return out, nil
}
