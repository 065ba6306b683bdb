<?php
// Prints the variables that PHP makes of a request's headers.
header('Content-Type: text/plain');
foreach ($_SERVER as $name => $value) {
    if (str_starts_with($name, 'HTTP_')) {
        echo $name, '=', $value, "\n";
    }
}
