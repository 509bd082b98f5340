# shellcheck shell=bash disable=SC2154
# How each recipe of docs/recipes.md is played. A function gets its heading; what it prints on
# descriptor 3 is what has to arrive, where that is not one message from the mailbox to the reader.

# Too large to be fetched for a test, or not in Debian. The page says so.
export NOT_REPLAYED='Go
Java
PowerShell'

TWO='server@example.com server@example.com other@example.com,you@example.com'
# From stays what the program made of the user and the machine.
FROM_ROOT='server@example.com root@printserver.example.net other@example.com,you@example.com'

replay_postfix() {
  local etc=$debian/etc/postfix directory
  # Its own services without a chroot inside of this one.
  sed '/^smtp *inet/d; s/^\([a-z]* *unix *[^ ]* *[^ ]*\) *y /\1 n /' \
    "$debian/usr/share/postfix/master.cf.dist" > "$etc/master.cf"
  {
    printf '%s\n' 'compatibility_level = 3.6' 'inet_interfaces = loopback-only' 'mydestination ='
    block "$1" relayhost
  } > "$etc/main.cf"
  file "$1" ']:8025 TENANT' /etc/postfix/relay_password
  install -d -o 904 "$debian/var/lib/postfix"
  for directory in active bounce corrupt defer deferred flush hold incoming private saved trace; do
    install -d -m 700 -o 904 "$debian/var/spool/postfix/$directory"
  done
  install -d -m 730 -o 904 -g 907 "$debian/var/spool/postfix/maildrop"
  install -d -m 710 -o 904 -g 907 "$debian/var/spool/postfix/public"
  install -d "$debian/var/spool/postfix/pid"
  in_debian /usr/lib/postfix/sbin/master &
  until_true [ -p "$debian/var/spool/postfix/public/pickup" -o -S "$debian/var/spool/postfix/public/pickup" ]
  message | in_debian sendmail.postfix you@example.com other@example.com
  echo "$TWO" >&3
}

replay_exim() {
  local config=$debian/etc/exim4/exim4.conf
  install -d -o 901 -g 901 "$debian"/var/{spool,log}/exim4
  # With a secret that has expired, Exim keeps the mail, and sends it once the secret is right.
  block "$1" 'begin routers' | sed "s/$secret/expired-secret/" > "$config"
  chmod 640 "$config"
  message | in_debian exim4 -odf you@example.com other@example.com
  cat "$debian/var/log/exim4/mainlog"
  grep -q 'defer.*authentication required' "$debian/var/log/exim4/mainlog"
  [ "$(in_debian exim4 -bpc)" = 1 ]
  block "$1" 'begin routers' > "$config"
  in_debian exim4 -qff
  echo "$TWO" >&3
}

replay_sendmail() {
  local mail=$debian/etc/mail table
  install -d -o 0 -g 906 "$mail" "$debian/var/spool/mqueue"
  {
    printf '%s\n' 'include(`/usr/share/sendmail/cf/m4/cf.m4'"')dnl" 'OSTYPE(`debian'"')dnl"
    block "$1" SMART_HOST
    printf '%s\n' 'MAILER(`smtp'"')dnl"
  } > "$mail/sendmail.mc"
  in_debian m4 /etc/mail/sendmail.mc > "$mail/sendmail.cf"
  file "$1" 'AuthInfo:' /etc/mail/authinfo
  file "$1" 'TLS_Srv:' /etc/mail/access
  file "$1" 'root server@' /etc/mail/genericstable
  for table in authinfo access genericstable; do
    in_debian /usr/libexec/sendmail/makemap hash "/etc/mail/$table" < "$mail/$table"
  done
  chmod go-w "$mail"/*
  message | in_debian /usr/libexec/sendmail/sendmail -Am -odi -v you@example.com other@example.com
  echo "$TWO" >&3
}

replay_opensmtpd() {
  install -d -m 711 "$debian/var/spool/smtpd"
  chgrp 903 "$debian/usr/sbin/smtpctl"
  chmod 2755 "$debian/usr/sbin/smtpctl"
  file "$1" 'table secrets' /etc/smtpd.conf
  file "$1" 'relay TENANT' /etc/relay_password
  chmod 600 "$debian/etc/relay_password"
  # As update-ca-certificates does.
  cp "$debian/etc/ssl/relay-cert.pem" "$debian/etc/ssl/certs/ca-certificates.crt"
  in_debian smtpd -d -f /etc/smtpd.conf &
  until_true [ -S "$debian/run/smtpd.sock" ]
  # By this name, smtpctl is sendmail.
  ln -sf smtpctl "$debian/usr/sbin/send-mail"
  message | in_debian send-mail you@example.com other@example.com
  echo "$FROM_ROOT" >&3
}

replay_msmtp() {
  block "$1" 'defaults' | sed "s#/etc/ssl#$debian/etc/ssl#" > "$work/msmtprc"
  chmod 600 "$work/msmtprc"
  message | msmtp --file="$work/msmtprc" you@example.com other@example.com
  echo "$TWO" >&3
}

replay_nullmailer() {
  install -d -o mail "$debian"/var/spool/nullmailer/{queue,tmp,failed}
  echo "$machine" > "$debian/etc/nullmailer/me"
  file "$1" starttls /etc/nullmailer/remotes
  file "$1" '@example.com' /etc/nullmailer/allmailfrom
  [ -p "$debian/var/spool/nullmailer/trigger" ] || mkfifo "$debian/var/spool/nullmailer/trigger"
  message | in_debian nullmailer-inject you@example.com other@example.com
  echo 0 > "$debian/etc/nullmailer/pausetime"
  in_debian nullmailer-send
  echo "$FROM_ROOT" >&3
}

replay_dma() {
  install -d -m 2775 -g mail "$debian/var/spool/dma"
  file "$1" SMARTHOST /etc/dma/dma.conf
  file "$1" '|smtp' /etc/dma/auth.conf
  message | in_debian dma -D you@example.com other@example.com
  printf '%s\n' 'server@example.com server@example.com other@example.com' \
    'server@example.com server@example.com you@example.com' >&3
}

replay_ssmtp() {
  file "$1" mailhub /etc/ssmtp/ssmtp.conf
  file "$1" 'root:' /etc/ssmtp/revaliases
  message | in_debian ssmtp you@example.com other@example.com
  echo "$TWO" >&3
}

replay_esmtp() {
  file "$1" hostname /etc/esmtprc
  in_debian sh -ec "$(block "$1" mkdir)"
  message | in_debian esmtp you@example.com other@example.com
  echo "$TWO" >&3
}

replay_monit() {
  { echo 'set daemon 60'; block "$1" 'set mailserver'; } > "$debian/root/.monitrc"
  chmod 600 "$debian/root/.monitrc"
  # At its start it sends an alert that it has started.
  in_debian monit -I -c /root/.monitrc &
}

replay_alertmanager() {
  local log=$work/alertmanager.log
  file "$1" smtp_smarthost /etc/alertmanager.yml
  # Not after half a minute.
  sed -i 's/^  receiver: mail/&\n  group_wait: 0s/' "$debian/etc/alertmanager.yml"
  in_debian prometheus-alertmanager --config.file=/etc/alertmanager.yml --storage.path=/tmp \
    --web.listen-address=127.0.0.1:9093 --cluster.listen-address= > "$log" 2>&1 &
  until_true grep -q 'Listening' "$log"
  curl -sS -H 'Content-Type: application/json' http://127.0.0.1:9093/api/v2/alerts \
    -d '[{"labels": {"alertname": "DiskFull"}}]'
}

replay_mailx() {
  file "$1" v15-compat /root/.mailrc
  echo 'All is well.' | in_debian s-nail -s Report -c other@example.com you@example.com
  echo "$TWO" >&3
}

replay_git_send_email() {
  local patch=/root/0001-mend.patch
  file "$1" sendemail /root/.gitconfig
  printf '%s\n' 'From 1111111111111111111111111111111111111111 Mon Sep 17 00:00:00 2001' \
    'From: Ann <ann@example.com>' 'Date: Mon, 23 Nov 2026 08:00:00 +0000' 'Subject: [PATCH] mend' \
    '' 'text' '---' > "$debian$patch"
  in_debian git send-email --quiet --suppress-cc=all --confirm=never --to=you@example.com "$patch"
}

replay_python() {
  block "$1" smtplib | sed "s#/etc/ssl#$debian/etc/ssl#" | python3 -
}

replay_node() {
  ln -sfn "$root/node_modules" "$work/node_modules"
  block "$1" nodemailer | sed "s#/etc/ssl#$debian/etc/ssl#" > "$work/report.mjs"
  "$root/node_modules/.bin/bun" "$work/report.mjs"
}

replay_perl() {
  file "$1" Net::SMTP /root/report.pl
  in_debian perl /root/report.pl
}

replay_ruby() {
  file "$1" net/smtp /root/report.rb
  in_debian ruby /root/report.rb
}

replay_mono_and_old_.net() {
  file "$1" SmtpClient /root/report.cs
  # A relay of its own, as the page has it, on another port.
  env "$(block "$1" TLS_MIN_VERSION | grep MIN_VERSION)" SMTP_LISTEN=127.0.0.1:8031 \
    HTTP_LISTEN=off "$root/node_modules/.bin/bun" "$root/src/main.ts" serve > "$work/old.log" 2>&1 &
  sed -i 's/8025/8031/' "$debian/root/report.cs"
  in_debian sh -ec "$(block "$1" cert-sync)"
  in_debian mcs /root/report.cs
  until_true grep -q "Relay started" "$work/old.log"
  in_debian mono /root/report.exe
}
