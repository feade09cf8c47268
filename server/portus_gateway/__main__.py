from portus_gateway.cli import main

main()
