package core

import "github.com/sallyport/sallyport/core/tenant"

// Routes is everything that is mounted.
func (s *Server) Routes() []tenant.Route { return s.routes }
