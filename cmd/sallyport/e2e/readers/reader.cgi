#!/bin/sh
# Prints the variables that a CGI program finds a request's headers in
# (RFC 3875 §4.1.18).
printf 'Content-Type: text/plain\r\n\r\n'
env | grep '^HTTP_'
