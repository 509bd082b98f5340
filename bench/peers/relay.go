// The relay that somebody would write in Go: go-smtp, net/http with kept connections, a token for each
// login once. Arguments: certificate, key, the cloud's base URL, port.

package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/ioutil"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"crypto/tls"

	"github.com/emersion/go-smtp"
)

type relay struct {
	cloud  string
	client *http.Client
	lock   sync.Mutex
	tokens map[string]token
}

type token struct {
	value   string
	expires time.Time
}

// tokenFor asks Entra once for each login, until the token expires.
func (r *relay) tokenFor(username, secret string) (string, error) {
	key := username + "\x00" + secret
	r.lock.Lock()
	cached, found := r.tokens[key]
	r.lock.Unlock()
	if found && time.Now().Before(cached.expires) {
		return cached.value, nil
	}
	ids := strings.SplitN(username, "@", 2)
	if len(ids) != 2 {
		return "", fmt.Errorf("no tenant in %q", username)
	}
	response, err := r.client.PostForm(r.cloud+"/entra/"+ids[0]+"/oauth2/v2.0/token", url.Values{
		"grant_type":    {"client_credentials"},
		"client_id":     {ids[1]},
		"client_secret": {secret},
		"scope":         {"https://graph.microsoft.com/.default"},
	})
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("Entra answered %d", response.StatusCode)
	}
	expires := time.Now().Add(time.Duration(answer.ExpiresIn) * time.Second)
	r.lock.Lock()
	r.tokens[key] = token{answer.AccessToken, expires}
	r.lock.Unlock()
	return answer.AccessToken, nil
}

func (r *relay) Login(_ *smtp.ConnectionState, username, password string) (smtp.Session, error) {
	if _, err := r.tokenFor(username, password); err != nil {
		return nil, err
	}
	return &session{relay: r, username: username, password: password}, nil
}

func (r *relay) AnonymousLogin(_ *smtp.ConnectionState) (smtp.Session, error) {
	return nil, smtp.ErrAuthRequired
}

type session struct {
	relay              *relay
	username, password string
	from               string
}

func (s *session) Mail(from string, _ smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *session) Rcpt(string) error { return nil }
func (s *session) Reset()            { s.from = "" }
func (s *session) Logout() error     { return nil }

func (s *session) Data(reader io.Reader) error {
	message, err := ioutil.ReadAll(reader)
	if err != nil {
		return err
	}
	token, err := s.relay.tokenFor(s.username, s.password)
	if err != nil {
		return err
	}
	address := s.relay.cloud + "/graph/v1.0/users/" + url.PathEscape(s.from) + "/sendMail"
	body := strings.NewReader(base64.StdEncoding.EncodeToString(message))
	request, err := http.NewRequest(http.MethodPost, address, body)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "text/plain")
	response, err := s.relay.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	// Only a body that was read to its end leaves the connection for the next request.
	io.Copy(ioutil.Discard, response.Body)
	if response.StatusCode != http.StatusAccepted {
		return fmt.Errorf("Graph answered %d", response.StatusCode)
	}
	return nil
}

func main() {
	certificate, err := tls.LoadX509KeyPair(os.Args[1], os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: 10000}
	server := smtp.NewServer(&relay{
		cloud:  os.Args[3],
		client: &http.Client{Transport: transport, Timeout: 60 * time.Second},
		tokens: map[string]token{},
	})
	server.Addr = "127.0.0.1:" + os.Args[4]
	server.Domain = "localhost"
	server.MaxMessageBytes = 36700160
	server.ReadTimeout = 5 * time.Minute
	server.WriteTimeout = 5 * time.Minute
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
	log.Fatal(server.ListenAndServe())
}
