# The formula for Homebrew, on macOS and Linux. Install that of a release: scripts/release/manifests.mjs writes
# the checksums, which are zeros in the repository.
class SmtpOauthRelay < Formula
  desc "SMTP server that sends the mail of devices through Microsoft 365"
  homepage "https://github.com/REPO_OWNER/smtp-oauth-relay"
  version "0.1.0"
  license "MIT"

  on_macos do
    on_arm do
      url "https://github.com/REPO_OWNER/smtp-oauth-relay/releases/download/v0.1.0/smtp-oauth-relay-darwin-arm64"
      sha256 "0000000000000000000000000000000000000000000000000000000000000000"
    end
    on_intel do
      url "https://github.com/REPO_OWNER/smtp-oauth-relay/releases/download/v0.1.0/smtp-oauth-relay-darwin-x64"
      sha256 "0000000000000000000000000000000000000000000000000000000000000000"
    end
  end

  on_linux do
    on_arm do
      url "https://github.com/REPO_OWNER/smtp-oauth-relay/releases/download/v0.1.0/smtp-oauth-relay-linux-arm64"
      sha256 "0000000000000000000000000000000000000000000000000000000000000000"
    end
    on_intel do
      url "https://github.com/REPO_OWNER/smtp-oauth-relay/releases/download/v0.1.0/smtp-oauth-relay-linux-x64"
      sha256 "0000000000000000000000000000000000000000000000000000000000000000"
    end
  end

  def install
    bin.install Dir["smtp-oauth-relay-*"].first => "smtp-oauth-relay"

    # An upgrade leaves the file as it is.
    (buildpath/"environment").write <<~SETTINGS
      # Settings of the relay, one NAME=value in each line.
      LOG_LEVEL=INFO
      TLS_CERT_FILEPATH=#{etc}/smtp-oauth-relay/cert.pem
      TLS_KEY_FILEPATH=#{etc}/smtp-oauth-relay/key.pem
    SETTINGS
    # Secrets may come into it.
    (buildpath/"environment").chmod 0600
    (etc/"smtp-oauth-relay").install "environment"
    (var/"lib/smtp-oauth-relay").mkpath
  end

  def caveats
    <<~TEXT
      The service needs a certificate: cert.pem and key.pem in
        #{etc}/smtp-oauth-relay
      Its settings are in the file environment there. It listens on port 8025.
      To try the relay without any account: smtp-oauth-relay sandbox
    TEXT
  end

  service do
    run [opt_bin/"smtp-oauth-relay", "serve", "--env-file", etc/"smtp-oauth-relay/environment"]
    keep_alive successful_exit: false
    # A queue in SQLite is there, unless QUEUE_URL says otherwise.
    working_dir var/"lib/smtp-oauth-relay"
    log_path var/"log/smtp-oauth-relay.log"
    error_log_path var/"log/smtp-oauth-relay.log"
  end

  test do
    assert_match "smtp-oauth-relay #{version} ", shell_output("#{bin}/smtp-oauth-relay version")
    id = "12345678-1234-1234-1234-123456789abc"
    assert_match "EjRWeBI0EjQSNBI0VniavA", shell_output("#{bin}/smtp-oauth-relay username #{id} #{id}")
    # EX_CONFIG, and the setting's name.
    (testpath/"wrong").write "LOG_LEVEL=LOUD\n"
    output = shell_output("#{bin}/smtp-oauth-relay settings --env-file #{testpath}/wrong 2>&1", 78)
    assert_match "LOG_LEVEL", output
  end
end
