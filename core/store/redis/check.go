package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/sallyport/sallyport/core/store"
)

var (
	_ store.Checker   = (*Driver)(nil)
	_ store.Explainer = (*Driver)(nil)
)

// Check implements store.Checker: it reads the mode, the role, the eviction
// policy and the persistence that the servers report (INFO).
func (d *Driver) Check(ctx context.Context) (warnings []string, err error) {
	look := func(ctx context.Context, server redis.Cmdable) error {
		text, err := server.Info(ctx).Result()
		if err != nil {
			warnings = append(warnings, fmt.Sprintf("store: how the Redis is set up cannot be read (%v); allow its user +info, and make sure that maxmemory-policy is noeviction and appendonly is yes", err))
			return nil
		}
		more, err := d.judge(facts(text))
		warnings = append(warnings, more...)
		return err
	}
	if cluster, ok := d.client.(*redis.ClusterClient); ok {
		// One master stands for all: nodes of a cluster are set up alike.
		master, err := cluster.MasterForKey(ctx, d.prefix)
		if err != nil {
			return nil, d.Explain(err)
		}
		err = look(ctx, master)
		return warnings, err
	}
	err = look(ctx, d.client)
	return warnings, err
}

// facts reads the lines of INFO.
func facts(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			all[name] = value
		}
	}
	return all
}

// judge says what is wrong with a server that reports these facts.
func (d *Driver) judge(f map[string]string) (warnings []string, err error) {
	switch {
	case f["redis_mode"] == "sentinel":
		return nil, errIsSentinel
	case f["redis_mode"] == "cluster" && !d.address.options.IsClusterMode:
		return nil, errIsClusterNode
	case f["role"] == "slave":
		return nil, errIsReplica
	}
	if policy := f["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		warnings = append(warnings, fmt.Sprintf("store: the Redis has maxmemory-policy %s: where its memory is full it deletes grants and logs users out; set it to noeviction", policy))
	}
	if f["aof_enabled"] == "0" {
		warnings = append(warnings, "store: the Redis has appendonly no: what it acknowledged since its last snapshot is lost when it crashes; set it to yes")
	}
	return warnings, nil
}

// What a server turns out to be.
var (
	errIsClusterNode = errors.New("the server is a node of a cluster: write redis+cluster:// (with TLS rediss+cluster://) instead of redis://")
	errNoCluster     = errors.New("the server is not a node of a cluster: write redis:// (with TLS rediss://) instead of redis+cluster://")
	errIsReplica     = errors.New("the server is a replica, which takes no changes: name the primary, or its sentinels with redis+sentinel://")
	errIsSentinel    = errors.New("the server is a sentinel and holds no records: write redis+sentinel://HOST:26379/NAME with the name of the master that it watches")
	errNoSentinel    = errors.New("the server is not a sentinel: write redis:// (with TLS rediss://) instead of redis+sentinel://")
	errNoTLS         = errors.New("the server does not speak TLS at this port: write redis instead of rediss, or name its TLS port")
	errNoAnswer      = errors.New("the server does not answer in TLS: if it speaks none at this port, write redis instead of rediss")
	errMaybeTLS      = errors.New("the server closes the connection without an answer: if it speaks TLS at this port, write rediss instead of redis")
)

// Explain implements store.Explainer: it adds to an error what the URL should
// say instead, if the error shows it.
func (d *Driver) Explain(err error) error {
	if better := d.remedy(err); better != nil {
		return fmt.Errorf("%w (%w)", better, err)
	}
	return err
}

func (d *Driver) remedy(err error) error {
	o := d.address.options
	text := err.Error()
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(text, p) {
				return true
			}
		}
		return false
	}
	switch {
	case errors.As(err, new(tls.RecordHeaderError)):
		return errNoTLS
	case o.TLSConfig != nil && errors.Is(err, context.DeadlineExceeded):
		return errNoAnswer
	case !o.IsClusterMode && has("MOVED ", "ASK ", "CLUSTERDOWN "):
		return errIsClusterNode
	case o.IsClusterMode && has("cluster support disabled", "unknown command 'cluster'"):
		return errNoCluster
	case has("READONLY "):
		return errIsReplica
	case o.MasterName == "" && has("unknown command 'get'", "unknown command `get`", "unknown command 'GET'"):
		return errIsSentinel
	case o.TLSConfig == nil && (errors.Is(err, io.EOF) || has("connection reset by peer")):
		return errMaybeTLS
	}
	return nil
}

// askSentinels explains why no master was found through the sentinels.
func (d *Driver) askSentinels(ctx context.Context, cause error) error {
	o := d.address.options
	for _, addr := range o.Addrs {
		c := redis.NewSentinelClient(&redis.Options{
			Addr: addr, Username: o.SentinelUsername, Password: o.SentinelPassword, TLSConfig: o.TLSConfig,
			DialTimeout: dialTimeout, ReadTimeout: ioTimeout, ContextTimeoutEnabled: true, MaxRetries: -1,
		})
		_, err := c.GetMasterAddrByName(ctx, o.MasterName).Result()
		_ = c.Close()
		switch {
		case errors.Is(err, redis.Nil):
			return fmt.Errorf("the sentinels watch no master named %q; the path of the URL should be the name in their configuration (%w)", o.MasterName, cause)
		case err != nil && strings.Contains(strings.ToLower(err.Error()), "unknown command"):
			return fmt.Errorf("%w (%w)", errNoSentinel, cause)
		case err != nil && strings.Contains(err.Error(), "NOAUTH"):
			return fmt.Errorf("the sentinels want a password; add sentinel_auth=true to the URL (%w)", cause)
		}
	}
	return d.Explain(cause)
}
