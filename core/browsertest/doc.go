// Package browsertest holds the tests that look at the pages through a real
// Chromium: whole logins at a server from package coretest, and every page of
// package pages checked by axe-core, in light and dark, on a phone and on a
// desk. What a page says and which headers it has is tested without a browser
// in package pages; what the endpoints answer, in package core.
package browsertest
