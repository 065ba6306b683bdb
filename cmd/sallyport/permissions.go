package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/config"
)

// A user who can write the configuration, a key, the store or a plugin decides
// what this server does. Files and folders that every user can write, or that
// belong to another user than this process's and root, are therefore refused.
// A secret that other users can read is a warning.

// checkOrigins checks the files that a configuration was read from.
func checkOrigins(o *config.Origins) (warnings []string, err error) {
	var faults []error
	for _, f := range o.Files {
		err := trusted(f.Path)
		switch {
		case errors.As(err, new(*fs.PathError)): // it is not there: a fault of the configuration
		case err != nil:
			faults = append(faults, err)
		case f.Secret:
			warnings = append(warnings, readable(f.Path)...)
		}
	}
	return warnings, errors.Join(faults...)
}

// checkPlaces checks the folders that a configuration names, and what is in
// them. What cannot be looked at is for those who open it to report.
func checkPlaces(cfg *config.Config) (warnings []string, err error) {
	var faults []error
	check := func(key string, names ...string) {
		for _, name := range names {
			if err := trusted(name); err != nil && !errors.As(err, new(*fs.PathError)) {
				faults = append(faults, fmt.Errorf("%s: %w", key, err))
			}
		}
	}
	if file, ok := boltFile(cfg.Store); ok {
		check("store", file)
		warnings = append(warnings, readable(file)...)
	}
	modules, _ := filepath.Glob(filepath.Join(escapeGlob(cfg.Plugins.Dir), "*.wasm"))
	check("plugins/dir", append([]string{cfg.Plugins.Dir}, modules...)...)
	return warnings, errors.Join(faults...)
}

// loadTrusted reads the configuration that a command line names and checks who
// could have written it.
func loadTrusted(cmd *cobra.Command, sys system, files []string) (*config.Config, *config.Origins, []string, error) {
	var origins config.Origins
	cfg, err := config.Load(config.Options{Files: files, Environ: sys.environ, Flags: cmd.Flags(), Origins: &origins})
	warnings, untrusted := checkOrigins(&origins)
	if err != nil {
		err = faulty(files, err)
	}
	if err := errors.Join(err, untrusted); err != nil {
		return nil, nil, nil, err
	}
	return cfg, &origins, warnings, nil
}
