from portus_client.cli import main

main()
